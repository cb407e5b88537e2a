"""Points on the earth as Lucene keeps and measures them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RADIUS = 6_371_008.7714  # metres, mean radius of the WGS 84 ellipsoid
_STEPS = 2**32


def point(value: Any) -> tuple[float, float]:
    """Latitude and longitude of `{"lat", "lon"}`, "lat,lon" or `[lon, lat]`, to the 32 bits of each
    that an index keeps. Raises ValueError.

    >>> [round(degrees, 5) for degrees in point("48.137,11.575")]
    [48.137, 11.575]
    """
    try:
        match value:
            case {"lat": lat, "lon": lon} if len(value) == 2:
                pass
            case str():
                lat, lon = value.split(",")
            case [lon, lat]:
                pass
            case _:
                raise ValueError
        lat, lon = float(lat), float(lon)
    except (TypeError, ValueError):
        raise ValueError(f'{value!r} is no point, like "48.137,11.575" (lat,lon)') from None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise ValueError(f"{value!r} is not on the earth: lat -90 to 90, lon -180 to 180")
    return kept(lat, 180), kept(lon, 360)


def kept(degrees: float, whole: int, up: bool = False) -> float:
    """Degrees as an index keeps them, of a circle or half of one in 2^32 steps. up: to the next."""
    step = whole / _STEPS
    number = (math.ceil if up else math.floor)(degrees / step)
    return min(number, _STEPS // 2 - 1) * step


def metres(lat: float, lon: float, lats: ArrayLike, lons: ArrayLike) -> NDArray[np.float64]:
    """Along the surface from one point to each of the others (haversine)."""
    phi, phis = np.radians(lat), np.radians(lats)
    half = np.sin((phis - phi) / 2) ** 2
    half = half + np.cos(phi) * np.cos(phis) * np.sin(np.radians(np.subtract(lons, lon)) / 2) ** 2
    far: NDArray[np.float64] = 2 * RADIUS * np.arcsin(np.sqrt(np.minimum(1.0, half)))
    return far
