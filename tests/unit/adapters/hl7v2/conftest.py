"""A message of Larkspur General Hospital, made up, and event loops to run scenarios on."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

ADMISSION = (
    "MSH|^~\\&|ADTSYS|LGH|BRIDGE|LGH|20250301101500-0500||ADT^A01^ADT_A01|LGH000001|P|2.5.1|||AL|NE\r"
    "EVN|A01|20250301101500-0500\r"
    "PID|1||100234^^^LGH^MR~900-11-2233^^^SSA^SS||Okafor^Adaeze^Ngozi||19710312|F|||"
    "12 Elm St^^Larkspur^NY^10901^USA^H||^PRN^PH^^1^845^5550101|||M|||||||||||||||N\r"
    "PV1|1|I|4E^412^A^LGH||||1001^Ruiz^Marta^^^^MD|||MED||||7|||1001^Ruiz^Marta^^^^MD|IP|V50017^^^LGHVN^VN"
    "|||||||||||||||||||||||||20250301100500-0500\r"
    "DG1|1||I50.9^Heart failure, unspecified^I10||20250301|A\r"
)


@pytest.fixture
def admission() -> bytes:
    """An ADT^A01 as most engines send it."""
    return ADMISSION.encode()


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Run an async scenario on each event loop, for at most ten seconds."""

    def runner(scenario: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(90):
                await scenario()

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as loop:
            loop.run(bounded())

    return runner
