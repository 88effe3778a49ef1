"""What we do to models: objectives to train them by, and ways to make them do with less."""
