"""What a user may ask of the files of a compile. Light: the command line reads it to complete words."""

from collections.abc import Collection

from pimcomp.errors import check_name

SAVES = ("evaluation", "verification", "intermediate", "mapping", "weights", "listing")
FORMS = ("gz", "directory", "pim")


def check_choices(form: str, save: Collection[str]) -> None:
    """Raise ConfigError for an unknown form or save: before hours of work, if asked early."""
    check_name("--format", form, FORMS)
    for name in save:
        check_name("--save", name, SAVES)
