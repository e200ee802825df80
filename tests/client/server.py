"""A scripted server: the least that tests of the client itself need."""

import json
from collections.abc import Callable

import httpx

CUSTOMER_ID = "afa9f40b-619e-45e7-9bcc-dadade466217"
OTHER_ID = "cde3bc80-a516-44ed-9aca-1fe698da3c63"
NOT_FOUND = {"error": "ResourceNotFound", "detail": "Not found"}
NO_ROUTE = {"detail": "Not Found"}

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Server:
    def __init__(self):
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self._answers: list[Answer] = []
        self._always: Answer = httpx.Response(404, json=NO_ROUTE)

    def answer(self, *answers: Answer) -> None:
        """One each for the next requests."""
        self._answers.extend(answers)

    def always(self, answer: Answer) -> None:
        self._always = answer

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def targets(self) -> list[str]:
        """Methods and paths as they went over the wire."""
        return [f"{r.method} {r.url.raw_path.decode()}" for r in self.requests]

    @property
    def last_body(self) -> object:
        return json.loads(self.requests[-1].content)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if self._answers else self._always
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            # A copy: a response can be read once only.
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )
        return answer(request)


def customer(id=CUSTOMER_ID, **fields):
    return {
        "id": id,
        "created_at": "2026-11-20T09:34:09.151237Z",
        "organization_id": "ad141963-993f-4c68-a3c3-7c68e7fd3a89",
        "email": "ada@example.com",
        "external_id": None,
        **fields,
    }


def ok(data, status=200):
    return httpx.Response(status, json=data)


def page(*items, total_count=None, max_page=1):
    count = len(items) if total_count is None else total_count
    return ok({"items": list(items), "pagination": {"total_count": count, "max_page": max_page}})


def session(token="polar_cst_session"):
    return ok(
        {
            "id": OTHER_ID,
            "token": token,
            "expires_at": "2026-11-20T10:46:03.102780Z",
            "customer_portal_url": "https://polar.sh/portal",
            "customer_id": CUSTOMER_ID,
        },
        status=201,
    )
