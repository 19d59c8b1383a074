"""A site that starts in a tenth of a second and can misbehave: ``place.py`` makes one, ``manage.py`` is its command."""
