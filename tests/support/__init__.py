"""What tests stand on: the shop as a client sees it, as the edge asks it, and as one who listens hears it."""
