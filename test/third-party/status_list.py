# Checks a token as a resource server does that asks us nothing: signature, then its bit in the status list.
# Usage: status_list.py <jwks url> <status list base url> <token>; prints valid or invalid, and fails on anything odd.
import base64
import json
import sys
import time
import urllib.request
import zlib

import jwt

jwks_url, base, token = sys.argv[1:4]
keys = jwt.PyJWKClient(jwks_url)


def verified(text, kind):
    assert jwt.get_unverified_header(text)["typ"] == kind, "the type is another"
    key = keys.get_signing_key_from_jwt(text).key
    return jwt.decode(text, key, algorithms=["ES256"], options={"verify_aud": False})


claims = verified(token, "at+jwt")
reference = claims["status"]["status_list"]
request = urllib.request.Request(
    base + reference["uri"][reference["uri"].index("/oauth2/"):],
    headers={"accept": "application/statuslist+jwt"},
)
with urllib.request.urlopen(request) as answer:
    assert answer.headers["content-type"] == "application/statuslist+jwt", "the content type is another"
    assert "max-age=" in answer.headers["cache-control"], "it may not be kept"
    published = verified(answer.read().decode(), "statuslist+jwt")

assert published["sub"] == reference["uri"], "it is another list"
assert published["iat"] <= time.time() + 5 < published["exp"], "it is not of now"
assert published["ttl"] > 0
lists = published["status_list"]
bits = lists["bits"]
assert bits == 1
packed = zlib.decompress(base64.urlsafe_b64decode(lists["lst"] + "=" * (-len(lists["lst"]) % 4)))
place = reference["idx"]
assert 0 <= place < len(packed) * 8 // bits, "the place is not in the list"
value = packed[place * bits // 8] >> (place * bits % 8) & ((1 << bits) - 1)
print(json.dumps({"status": "valid" if value == 0 else "invalid", "entries": len(packed) * 8 // bits}))
