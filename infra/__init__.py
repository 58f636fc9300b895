"""The infrastructure that the services and the edge share, and the tools that run them."""
