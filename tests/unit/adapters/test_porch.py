"""What comes to a thread is whole, in time, of somebody, and not too much; health is told whatever else goes on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from adapters.porch import Limits, Porch

PATIENT = 60.0
GONE = bytes(bytearray(b"gone"))


class Application:
    """Says back what it was asked, once it may."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.may = threading.Event()
        self.may.set()

    def __call__(self, environ, start_response):
        environ["body"] = environ["wsgi.input"].read()
        self.asked.append(environ)
        if environ["PATH_INFO"] != "/health":
            self.may.wait(PATIENT)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["body"]]


class Scene:
    """A porch before the application, for as long as a scenario runs."""

    def __init__(self, **limits) -> None:
        self.application = Application()
        bounds = Limits(lambda _path: 1000, **{"threads": 2, "body_seconds": PATIENT, **limits})
        self.porch = Porch(
            self.application,
            bounds,
            lambda environ: environ.get("HTTP_AUTHORIZATION", ""),
            lambda environ: environ["HTTP_AUTHORIZATION"] != "nobody",
            ["/health"],
        )

    def ask(self, *pieces: bytes, path="/", who="anna", length=None, **headers) -> asyncio.Task:
        """A request whose body comes in pieces; what is not all stays away. The task ends with status and answer."""
        announced = sum(map(len, pieces)) if length is None else length
        given = {"authorization": who, "content-length": str(announced), **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"a=1",
            "http_version": "1.1",
            "headers": [(k.replace("__", "-").encode(), v.encode()) for k, v in given.items() if v],
        }
        return asyncio.create_task(self._run(scope, list(pieces), sum(map(len, pieces)) >= announced))

    async def _run(self, scope, pieces, whole):
        sent = []

        async def receive():
            if not pieces:
                await asyncio.Event().wait()
            piece = pieces.pop(0)
            if piece is GONE:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": piece, "more_body": bool(pieces) or not whole}

        async def send(message):
            sent.append(message)

        await self.porch(scope, receive, send)
        return (sent[0]["status"], sent[1]["body"]) if sent else (0, b"")


def run(scenario, **limits):
    async def main():
        scene = Scene(**limits)
        async with asyncio.timeout(PATIENT / 2):
            await scenario(scene)

    try:
        asyncio.run(main())
    except TimeoutError:
        pytest.fail("it did not end", pytrace=False)


async def until(condition):
    while not condition():  # noqa: ASYNC110 - the scenario's own bound ends it
        await asyncio.sleep(0.001)


def test_a_body_in_pieces_reaches_the_application_whole():
    async def scenario(scene):
        assert await scene.ask(b"one ", b"", b"two") == (200, b"one two")
        environ = scene.application.asked[0]
        assert (environ["CONTENT_LENGTH"], environ["QUERY_STRING"], environ["REQUEST_METHOD"]) == ("7", "a=1", "POST")

    run(scenario)


def test_a_body_of_unknown_length_has_the_length_that_it_has():
    async def scenario(scene):
        task = scene.ask(b"one", **{"content-length": "", "transfer-encoding": "chunked"})
        assert await task == (200, b"one")
        environ = scene.application.asked[0]
        assert (environ["CONTENT_LENGTH"], "HTTP_TRANSFER_ENCODING" in environ) == ("3", False)

    run(scenario)


def test_a_body_that_takes_too_long_is_408_and_never_comes_to_a_thread():
    async def scenario(scene):
        assert await scene.ask(b"MSH|", length=100) == (408, b"")
        assert scene.application.asked == []
        assert await scene.ask(b"next") == (200, b"next")

    run(scenario, body_seconds=0.2)


def test_whoever_hangs_up_is_forgotten():
    async def scenario(scene):
        assert await scene.ask(b"MSH|", GONE, length=100) == (0, b"")
        assert scene.application.asked == []
        assert not scene.porch._reading

    run(scenario)


def test_no_more_is_read_than_is_looked_at():
    async def scenario(scene):
        status, body = await scene.ask(b"x" * 900, b"x" * 900, length=10_000)
        assert (status, len(body)) == (200, 1001)
        assert scene.application.asked[0]["CONTENT_LENGTH"] == "10000", "so that it is refused as too large"

    run(scenario)


def test_the_bodies_of_one_caller_are_bounded_and_those_of_another_are_read():
    async def scenario(scene):
        slow = [scene.ask(b"x", length=100) for _ in range(3)]
        await until(lambda: scene.porch._reading["anna"] == 2)
        done, _ = await asyncio.wait(slow, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result()[0] for task in done] == [503]
        assert await scene.ask(b"mine", who="ines") == (200, b"mine")
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert await scene.ask(b"again") == (200, b"again")
        assert not scene.porch._reading, "nothing is remembered of bodies that ended"
        assert scene.porch._bytes == 0

    run(scenario, bodies_of_one=2)


def test_all_bodies_together_are_bounded_by_number_and_by_bytes():
    async def scenario(scene):
        slow = [scene.ask(b"x" * 400, length=1000, who=f"caller-{n}") for n in range(2)]
        await until(lambda: scene.porch._bytes == 800)
        assert (await scene.ask(b"x" * 300, who="ines"))[0] == 503
        slow.append(scene.ask(b"", length=10, who="third"))
        await until(lambda: scene.porch._reading.total() == 3)
        assert (await scene.ask(b"x", who="fourth"))[0] == 503
        for task in slow:
            task.cancel()

    run(scenario, bodies=3, bytes_held=1000)


@pytest.mark.parametrize("who", ["", "nobody"])
def test_a_strangers_body_is_not_read(who):
    async def scenario(scene):
        assert await scene.ask(b"x" * 10, length=100, who=who) == (200, b"")
        assert not scene.porch._reading

    run(scenario)


def test_health_is_told_while_every_thread_is_busy_and_what_waits_is_bounded():
    async def scenario(scene):
        scene.application.may.clear()
        busy = [scene.ask(b"x") for _ in range(4)]
        await until(lambda: scene.porch._waiting == 4)
        assert (await scene.ask(b"x"))[0] == 503
        assert (await scene.ask(path="/health"))[0] == 200
        scene.application.may.set()
        assert [status for status, _ in await asyncio.gather(*busy)] == [200] * 4

    run(scenario, waiting=2)


def test_a_header_with_an_underscore_is_not_taken_for_the_one_with_a_hyphen():
    async def scenario(scene):
        await scene.ask(b"x", **{"x_client": "forged", "x-client": "told"})
        assert scene.application.asked[0]["HTTP_X_CLIENT"] == "told"

    run(scenario)
