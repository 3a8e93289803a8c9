"""What an operator asks of a pipeline, done inside the one process that holds its journal."""
