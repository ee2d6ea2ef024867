"""All pictures of a page, in the order in which a reader meets them."""

from __future__ import annotations

from deploykit.report.page.candidates_picture import candidates_picture
from deploykit.report.page.comparison_picture import comparison_picture
from deploykit.report.page.contents import Contents
from deploykit.report.page.distributions import distributions_picture
from deploykit.report.page.drawing import Picture
from deploykit.report.page.latency_spread import spread_picture
from deploykit.report.page.memory_picture import memory_picture
from deploykit.report.page.precision_panels import precisions_picture
from deploykit.report.page.roofline_picture import roofline_picture
from deploykit.report.page.series import Series
from deploykit.report.page.tradeoff import accuracy_pictures, drift_picture


def pictures_of(contents: Contents) -> list[Picture]:
    """The pictures that there is something to show in."""
    entries = contents.entries
    series = Series([*entries, *contents.base])
    compared, tried = contents.comparison, contents.candidates
    found = [
        None if compared is None else comparison_picture(compared, entries, contents.base),
        None if tried is None else candidates_picture(tried),
        precisions_picture(entries, series),
        *accuracy_pictures(entries, series),
        drift_picture(entries, series),
        spread_picture(entries, series),
        distributions_picture(contents, series),
        roofline_picture(entries, series, contents.machines),
        memory_picture(entries),
    ]
    return [picture for picture in found if picture is not None]
