"""Teacher outputs on disk, by view: a study pays for its teacher once. See ``docs/cache.md``."""

from distill.cache.encoding import Encoding
from distill.cache.recall import Recall
from distill.cache.settings import CacheSettings
from distill.cache.store import Store

__all__ = ["CacheSettings", "Encoding", "Recall", "Store"]
