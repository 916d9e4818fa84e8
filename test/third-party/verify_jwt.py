# Checks a JWT as any Python service would: PyJWT, the published keys, one audience, one issuer.
import sys

import jwt

jwks_url, issuer, audience, token = sys.argv[1:]
key = jwt.PyJWKClient(jwks_url).get_signing_key_from_jwt(token)
claims = jwt.decode(
    token,
    key,
    algorithms=["ES256"],
    audience=audience,
    issuer=issuer,
    options={"require": ["exp", "iat", "aud", "iss", "sub", "jti"]},
)
print(claims["sub"])
