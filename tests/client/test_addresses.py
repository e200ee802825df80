"""An external id is data from outside: it must not choose the endpoint."""

import httpx
import pytest

from django_polar.exceptions import InvalidRequestError, NotFoundError, UnavailableError

from .server import CUSTOMER_ID, NOT_FOUND, OTHER_ID, customer, ok, page


@pytest.mark.parametrize(
    ("external_id", "segment"),
    [
        ("42", "42"),
        ("with space", "with%20space"),
        ("q?x=1", "q%3Fx%3D1"),
        ("h#frag", "h%23frag"),
        ("100%off", "100%25off"),
        ("x%2Fy", "x%252Fy"),
        ("a&b=c", "a%26b%3Dc"),
        ("a+b", "a%2Bb"),
        ("a;b", "a%3Bb"),
        ("a:b", "a%3Ab"),
        ("me@x.y", "me%40x.y"),
        ("back\\slash", "back%5Cslash"),
        ('it\'s "q"', "it%27s%20%22q%22"),
        ("a\nb", "a%0Ab"),
        ("nul\0", "nul%00"),
        ("ünï", "%C3%BCn%C3%AF"),
        ("🚀", "%F0%9F%9A%80"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("{id}", "%7Bid%7D"),
    ],
)
def test_an_external_id_is_one_segment_whatever_it_contains(polar, server, external_id, segment):
    server.always(ok(customer()))

    polar.customers.get_external(external_id)

    assert server.targets == [f"GET /v1/customers/external/{segment}"]


@pytest.mark.parametrize("external_id", ["", ".", ".."])
@pytest.mark.parametrize(
    "method", ["get_external", "update_external", "delete_external", "get_state_external"]
)
def test_empty_and_dot_segments_are_refused_before_a_request(polar, server, method, external_id):
    with pytest.raises(InvalidRequestError, match="external_id"):
        getattr(polar.customers, method)(external_id)

    assert server.requests == []


@pytest.mark.parametrize("id", ["", ".", "..", "x/state", "external/42"])
def test_an_id_cannot_lead_elsewhere_either(polar, server, id):
    with pytest.raises(InvalidRequestError, match="id"):
        polar.customers.delete(id)

    assert server.requests == []


def test_what_cannot_be_encoded_is_refused_without_being_quoted(polar, server):
    for call in (
        lambda: polar.customers.get_external("half\ud800"),
        lambda: polar.customers.list(query="half\ud800"),
        lambda: polar.customers.create(name="half\ud800"),
        lambda: polar.customers.create(name=object()),
    ):
        with pytest.raises(InvalidRequestError) as caught:
            call()
        assert "half" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert server.requests == []


def test_an_external_id_with_a_slash_is_found_in_the_list_and_addressed_by_id(polar, server):
    """``a%2Fb`` finds no route, and ``abc%2Fstate`` is the state of ``abc``."""
    server.answer(
        page(customer(OTHER_ID, external_id="a/b/cd"), total_count=2, max_page=2),
        page(customer(CUSTOMER_ID, external_id="a/b/c"), total_count=2, max_page=2),
        httpx.Response(204),
    )

    polar.customers.delete_external("a/b/c", anonymize=True)

    assert [r.url.params.get("query") for r in server.requests] == ["a/b/c", "a/b/c", None]
    assert server.targets[-1] == f"DELETE /v1/customers/{CUSTOMER_ID}?anonymize=true"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("get_external", f"GET /v1/customers/{CUSTOMER_ID}"),
        ("get_state_external", f"GET /v1/customers/{CUSTOMER_ID}/state"),
        ("update_external", f"PATCH /v1/customers/{CUSTOMER_ID}"),
    ],
)
def test_all_external_operations_know_the_way_around_a_slash(polar, server, method, target):
    server.answer(page(customer(external_id="trail/")), ok(customer(external_id="trail/")))

    assert getattr(polar.customers, method)("trail/").external_id == "trail/"

    assert server.targets[-1] == target


def test_upper_and_lower_case_are_different_external_ids(polar, server):
    server.always(page(customer(external_id="A/B")))

    with pytest.raises(NotFoundError):
        polar.customers.get_external("a/b")


def test_an_external_id_with_a_slash_that_nobody_has_is_not_found(polar, server):
    server.always(page())

    with pytest.raises(NotFoundError):
        polar.customers.delete_external("abc/state")

    assert [t.split("?")[0] for t in server.targets] == ["GET /v1/customers/"]


def test_rows_missed_by_the_walk_are_looked_for_in_another_order(polar, server):
    server.answer(
        page(customer(OTHER_ID, external_id="a/bb"), total_count=2),
        page(customer(external_id="a/b"), total_count=2),
        ok(customer(external_id="a/b")),
    )

    assert polar.customers.get_external("a/b").external_id == "a/b"


def test_rows_met_twice_do_not_make_a_walk_complete(polar, server):
    other = customer(OTHER_ID, external_id="a/bb")
    server.answer(
        page(other, total_count=2, max_page=2),
        page(other, total_count=2, max_page=2),
        page(customer(external_id="a/b"), total_count=2, max_page=2),
        ok(customer(external_id="a/b")),
    )

    assert polar.customers.get_external("a/b").external_id == "a/b"


def test_an_incomplete_walk_proves_no_absence(polar, server):
    """A 404 would let the caller forget the customer."""
    server.always(page(customer(OTHER_ID, external_id="a/bb"), total_count=2))

    with pytest.raises(UnavailableError, match="changed while it was read"):
        polar.customers.delete_external("a/b")

    assert not [t for t in server.targets if t.startswith("DELETE")]


def test_a_customer_deleted_after_it_was_found_is_not_found(polar, server):
    server.answer(page(customer(external_id="a/b")), httpx.Response(404, json=NOT_FOUND))

    with pytest.raises(NotFoundError):
        polar.customers.get_external("a/b")
