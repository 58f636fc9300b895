"""Rules about the project's own files: layout, names and prose."""
