"""What order answers, hears and does by itself."""
