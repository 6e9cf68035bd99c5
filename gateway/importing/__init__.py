"""Records on their way in and out: JSON Lines to the store and back."""
