"""What all apps share: type, colours, and the way they are hung into the server."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported: it must not call home
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr

PLUM = gr.themes.Color(
    "#faf5fb",
    "#f3e8f5",
    "#e6cfe9",
    "#d2a9d7",
    "#b574bd",
    "#933f9e",
    "#7c2888",
    "#681c73",
    "#53155d",
    "#3d0f45",
    "#2a0930",
)
# Regular and bold: the semi-bold file that gradio ships lacks most letters.
FONT = (gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif")


def theme() -> gr.Theme:
    """Quiet ground, thin lines, one accent; labels dark enough to read."""
    return gr.themes.Base(
        primary_hue=PLUM,
        secondary_hue=PLUM,
        neutral_hue=gr.themes.colors.zinc,
        font=FONT,
        font_mono=("ui-monospace", "monospace"),
        radius_size=gr.themes.sizes.radius_md,
    ).set(
        body_background_fill="white",
        body_background_fill_dark="#17171c",
        body_text_color="#1c1c22",
        body_text_color_subdued="#5a5a65",
        body_text_color_subdued_dark="#a9a9b6",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="#1c1c22",
        block_label_text_color_dark="#ececf1",
        block_title_text_color="#1c1c22",
        block_title_text_color_dark="#ececf1",
        block_title_text_weight="700",
        block_info_text_color="#5a5a65",
        block_info_text_color_dark="#a9a9b6",
        input_border_width="1px",
        input_border_color="#c9c9d2",
        input_border_color_dark="#4a4a56",
        input_background_fill="white",
        input_background_fill_dark="#202027",
        slider_color="*primary_600",
        slider_color_dark="*primary_300",
        button_secondary_background_fill="#f1f1f5",
        button_secondary_background_fill_dark="#26262e",
        button_secondary_text_color="#1c1c22",
        button_secondary_text_color_dark="#ececf1",
        layout_gap="20px",
    )


ASK_S = 0.02
"""How often a room looks whether a visitor has asked for something."""

CSS = (Path(__file__).parent / "frame.css").read_text(encoding="utf-8")


def hang(app, room: gr.Blocks, *, path: str, extra_css: str = ""):
    """Mount one app at its own path of the FastAPI server."""
    room = room.queue(default_concurrency_limit=2, max_size=64)
    # Gradio's own is 1 ms: eight rooms without a visitor then keep a sixth of a core busy.
    room._queue.sleep_when_free = ASK_S
    return gr.mount_gradio_app(
        app,
        room,
        path=path,
        server_name="127.0.0.1",
        theme=theme(),
        css=CSS + extra_css,
        footer_links=[],
        ssr_mode=False,
        show_error=True,
        max_file_size="64mb",
        run_history=False,
    )
