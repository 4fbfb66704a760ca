"""What every room may use: batches, keyed randomness, errors, files, trust."""
