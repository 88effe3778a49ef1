"""Live views: one JavaScript module a view, shared by JupyterLab and Gradio."""
