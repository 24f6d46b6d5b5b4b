"""`/api/2.0/permissions/{directories|notebooks|files}/{object id}`."""

from boathouse.auth import permissions
from boathouse.workspace.files.grants import DIRECTORIES, FILES, NOTEBOOKS

get_of_directory, set_of_directory, update_of_directory, levels_of_directory = permissions.endpoints(DIRECTORIES, __name__)
get_of_notebook, set_of_notebook, update_of_notebook, levels_of_notebook = permissions.endpoints(NOTEBOOKS, __name__)
get_of_file, set_of_file, update_of_file, levels_of_file = permissions.endpoints(FILES, __name__)
