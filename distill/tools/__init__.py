"""Commands that train no student: tune, export, preview, fill a cache; and chains."""
