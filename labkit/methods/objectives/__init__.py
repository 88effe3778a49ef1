"""What a model is asked to do in training, each as a module that holds the model and what is thrown away afterwards."""
