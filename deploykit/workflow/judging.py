"""Which data a network's accuracy is judged on, and what to say where that data is not here."""

from __future__ import annotations

from deploykit.errors import DeploykitError


def judged_on(asked: str | None, trained_on: str | None) -> tuple[str | None, str | None]:
    """The data set to judge a network on, and why there is none where its weights would have one.

    Data that was asked for is not tried here: that it can't be read is an error, which its reader raises.

    Args:
        asked: the user's choice.
        trained_on: the data set that the weights come from.
    """
    if asked is not None or trained_on is None:
        return asked, None
    from deploykit.data import open_dataset

    try:
        open_dataset(trained_on)
    except DeploykitError as error:
        return None, f"accuracy is blank: {str(error).replace('; ', ', ')}"
    return trained_on, None
