"""Ways to make a trained transformer do with fewer tokens, each as a module that holds the model it was made for."""
