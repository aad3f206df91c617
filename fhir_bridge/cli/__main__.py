"""`python -m fhir_bridge.cli`, as the supervisor starts its children."""

import sys

from fhir_bridge.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
