"""How good a photo, a driver and a result are, and what a user can do about it."""
