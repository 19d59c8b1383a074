"""Is the cache healthy?"""
