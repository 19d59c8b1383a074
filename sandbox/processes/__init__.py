"""The processes of one sandbox.

What is needed (``servers``, ``ports``, ``configuration``), what they are (``parts``), who starts, watches and ends them
(``launch``, ``supervisor``, ``bring_up``, ``runner``, ``tether``), what is said about them meanwhile (``orders``,
``state``), and how nothing stays (``cleaning``).
"""
