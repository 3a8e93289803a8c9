"""What a running exporter shows over HTTP: whether it lives, its metrics, and a page for people."""
