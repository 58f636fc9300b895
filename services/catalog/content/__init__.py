"""Makes content from administrators and product files safe to serve: HTML and images."""
