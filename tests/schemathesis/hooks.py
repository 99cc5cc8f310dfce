"""What a schema can't say: `plan` names a plan of the configuration, here only `premium`; how
CMCD is written."""

import schemathesis


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("plan"), str):
        body["plan"] = "premium"
    return body


@schemathesis.serializer("application/cmcd")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()
