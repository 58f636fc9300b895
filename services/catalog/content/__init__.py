"""What comes from outside, made safe to serve: HTML and pictures."""
