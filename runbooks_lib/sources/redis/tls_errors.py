"""What the TLS library says about a connection to Redis → what it means, what to do, and its kind."""

from __future__ import annotations

from runbooks_lib.model import Kind

#: (pattern, message, hint, kind), like those of ``errors``. The first match decides.
TLS_SAID: tuple[tuple[str, str, str, Kind], ...] = (
    (
        r"CERTIFICATE_VERIFY_FAILED.*(?:mismatch|not valid for)",
        "the certificate of Redis at {shown} is for another name",
        (
            "use the name in the certificate as host in redis_url; where Sentinel or a cluster announces addresses, "
            "let it announce that name (cluster-announce-hostname, sentinel announce-hostnames)"
        ),
        Kind.WRONG,
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED.*expired",
        "the certificate of Redis at {shown} has expired",
        "renew it on the server and let Redis read it again: CONFIG SET tls-cert-file, or a restart",
        Kind.WRONG,
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "the certificate of Redis at {shown} is not trusted: self-signed, or of another authority than the one given",
        (
            "add ?ssl_ca_certs=/path/ca.pem to redis_url, or correct that file: it must hold the authority that signed "
            "the certificate; do not turn verification off"
        ),
        Kind.WRONG,
    ),
    (
        r"CERTIFICATE_REQUIRED|certificate required|HANDSHAKE_FAILURE",
        "Redis at {shown} wants a client certificate and redis_url names none",
        "add &ssl_certfile=/path/client.pem&ssl_keyfile=/path/client.key to redis_url (the server's tls-auth-clients)",
        Kind.DENIED,
    ),
    (
        r"ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED|UNSUPPORTED_CERTIFICATE)",
        "Redis at {shown} refuses our client certificate",
        "ssl_certfile must be valid today and signed by the authority in the server's tls-ca-cert-file",
        Kind.DENIED,
    ),
    (
        r"KEY_VALUES_MISMATCH",
        "the client certificate and the key for Redis at {shown} do not belong together",
        "correct ssl_certfile and ssl_keyfile in redis_url",
        Kind.WRONG,
    ),
    (
        r"NO_CERTIFICATE_OR_CRL_FOUND|\[X509|PEM lib|\[PEM|NO_START_LINE|BAD_DECRYPT",
        "a certificate or key file that redis_url names for {shown} cannot be used",
        "ssl_ca_certs and ssl_certfile must be certificates in PEM form, ssl_keyfile a key (ssl_password opens it)",
        Kind.WRONG,
    ),
    (
        r"WRONG_VERSION_NUMBER|wrong version number|record layer failure|UNEXPECTED_EOF|SSL",
        "Redis at {shown} does not complete a TLS handshake",
        "does this port speak TLS? a plain Redis port needs redis:// (or no tls=true)",
        Kind.WRONG,
    ),
)
#: What the operating system says when a certificate or key file cannot be read: type → message, hint, kind.
TLS_FILES: tuple[tuple[type[BaseException], str, str, Kind], ...] = (
    (
        FileNotFoundError,
        "a file that redis_url names for {shown} does not exist",
        "correct ssl_ca_certs, ssl_certfile and ssl_keyfile: paths on this machine",
        Kind.WRONG,
    ),
    (
        PermissionError,
        "a file that redis_url names for {shown} may not be read by this user",
        "look at the owner and the mode of ssl_ca_certs, ssl_certfile and ssl_keyfile",
        Kind.DENIED,
    ),
)
