"""The local stack: real servers, the six services, the edges and Nginx, run and watched by one process."""
