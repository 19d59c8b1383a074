"""The enhanced cache, the plain one that it replaces, and the files behind both.

Read ``lookup.py`` first: it is the path of one request.
"""
