"""The gateway's processes: supervisor.py in the parent, child.py in each child."""

from fhir_bridge.serving.child import run_child
from fhir_bridge.serving.supervisor import Child, FolderInUse, StartFailed, Supervisor, hold_folder

__all__ = ["Child", "FolderInUse", "StartFailed", "Supervisor", "hold_folder", "run_child"]
