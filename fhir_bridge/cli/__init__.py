"""`fhir-bridge …`: the commands. Exit 0 good, 1 the work failed, 2 the call was wrong.

Results go to stdout, talk to stderr.

main       the parser and the dispatch             translating  translate, explain, check, coverage of a message
serving    serve, demo, and the child processes    journal      park, rebuild, state digest
upkeep     token, doctor, bench           sending      send
"""

from fhir_bridge.cli.main import main

__all__ = ["main"]
