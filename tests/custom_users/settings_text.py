from tests.settings import *  # noqa: F403 - the same, but for these
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.custom_users"]
AUTH_USER_MODEL = "custom_users.Account"
CUSTOM_USERS_KEY = "text"
