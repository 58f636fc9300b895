"""What tests share: clients over HTTP and NATS, an event recorder, waiting, and searches through all stored data."""
