"""The name is the guide's: operators import ``common.utils.cache``."""
