"""What finished runs left, read and compared."""
