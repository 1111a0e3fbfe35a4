"""`POST /v1/auth/login`: an email and a password become a bearer token of 30 days."""

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.guard import PASSWORD_GUARD
from airfreight.apis.device_ota import translate
from airfreight.apis.device_ota.errors import Asked
from airfreight.apis.device_ota.operators import TAGS, problems
from airfreight.apis.device_ota.shapes import SignedIn, SignedUser, SignIn, SignInError
from airfreight.services import access
from airfreight.services.access import GrantError
from airfreight.services.passwords import Guard

SECONDS = 30 * 86_400
CLIENT = "Device OTA sign-in"
_WRONG = "Login or password is wrong"
_TOO_MANY = "There were too many wrong passwords. Wait, then try again."


def _on_grant_error(_request: Asked, error: GrantError) -> Response[SignInError]:
    """Whatever is wrong with the password or the user is one answer."""
    if error.retry_seconds:
        headers = {"X-Error-Code": "limited", "Retry-After": str(error.retry_seconds)}
        return Response(SignInError(_TOO_MANY), status_code=429, media_type="application/json", headers=headers)
    headers = {"X-Error-Code": "unauthenticated", "WWW-Authenticate": "Bearer"}
    return Response(SignInError(_WRONG), status_code=401, media_type="application/json", headers=headers)


@post(
    "/auth/login",
    operation_id="signIn",
    tags=TAGS,
    status_code=200,
    security=[{}],
    responses=problems()
    | {
        status: ResponseSpec(SignInError, description=words, generate_examples=False)
        for status, words in {401: _WRONG, 429: _TOO_MANY}.items()
    },
    dependencies=PASSWORD_GUARD,
    exception_handlers={GrantError: _on_grant_error},
    sync_to_thread=True,
)
def sign_in(
    request: Asked, desk: NamedDependency[Desk], guard: NamedDependency[Guard], data: JSONBody[SignIn]
) -> SignedIn:
    """Sign in. The token is good for 30 days, here and at every other operation."""
    now = clock()
    with desk.database.read() as connection:
        who = access.candidate(connection, data.email)
    access.check_password(guard, who, data.password, request.client.host if request.client else "", now)
    with desk.database.write() as connection:
        grant, user = access.sign_in(connection, desk.keyring, who, CLIENT, now, SECONDS)
    return SignedIn(SignedUser(translate.hex_id(user.id), user.role), grant.access_token)
