"""Caches teacher outputs on disk, by view. See ``docs/cache.md``."""

from distill.cache.encoding import Encoding
from distill.cache.settings import CacheSettings, RequestsCache
from distill.cache.store import Store
from distill.cache.teacher_cache import TeacherCache

__all__ = ["CacheSettings", "Encoding", "RequestsCache", "Store", "TeacherCache"]
