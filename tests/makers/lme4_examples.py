"""Three small data sets that lme4 publishes its examples on, and what it prints for them.

Sources: Belenky et al. (2003, doi 10.1046/j.1365-2869.2003.00337.x), `sleepstudy`; Davies and
Goldsmith (1972, table 6.6), `Penicillin`; Lesnoff et al. (2004, Preventive Veterinary Medicine 64),
`cbpp`; as they are in the R package lme4.
"""

import numpy as np
import pandas as pd

# Reaction times in ms of 18 subjects (rows) on days 0 to 9 without enough sleep.
REACTIONS = """
249.5600 258.7047 250.8006 321.4398 356.8519 414.6901 382.2038 290.1486 430.5853 466.3535
222.7339 205.2658 202.9778 204.7070 207.7161 215.9618 213.6303 217.7272 224.2957 237.3142
199.0539 194.3322 234.3200 232.8416 229.3074 220.4579 235.4208 255.7511 261.0125 247.5153
321.5426 300.4002 283.8565 285.1330 285.7973 297.5855 280.2396 318.2613 305.3495 354.0487
287.6079 285.0000 301.8206 320.1153 316.2773 293.3187 290.0750 334.8177 293.7469 371.5811
234.8606 242.8118 272.9613 309.7688 317.4629 309.9976 454.1619 346.8311 330.3003 253.8644
283.8424 289.5550 276.7693 299.8097 297.1710 338.1665 332.0265 348.8399 333.3600 362.0428
265.4731 276.2012 243.3647 254.6723 279.0244 284.1912 305.5248 331.5229 335.7469 377.2990
241.6083 273.9472 254.4907 270.8021 251.4519 254.6362 245.4523 235.3110 235.7541 237.2466
312.3666 313.8058 291.6112 346.1222 365.7324 391.8385 404.2601 416.6923 455.8643 458.9167
236.1032 230.3167 238.9256 254.9220 250.7103 269.7744 281.5648 308.1020 336.2806 351.6451
256.2968 243.4543 256.2046 255.5271 268.9165 329.7247 379.4445 362.9184 394.4872 389.0527
250.5265 300.0576 269.8939 280.5891 271.8274 304.6336 287.7466 266.5955 321.5418 347.5655
221.6771 298.1939 326.8785 346.8555 348.7402 352.8287 354.4266 360.4326 375.6406 388.5417
271.9235 268.4369 257.2424 277.6566 314.8222 317.2135 298.1353 348.1229 340.2800 366.5131
225.2640 234.5235 238.9008 240.4730 267.5373 344.1937 281.1481 347.5855 365.1630 372.2288
269.8804 272.4428 277.8989 281.7895 279.1705 284.5120 259.2658 304.6306 350.7807 369.4692
269.4117 273.4740 297.5968 310.6316 287.1726 329.6076 334.4818 343.2199 369.1417 364.1236
"""
# Diameters of growth in mm on 24 plates, each with a drop of 6 samples.
DIAMETERS = """
27,23,26,23,23,21 27,23,26,23,23,21 25,21,25,24,24,20 26,23,25,23,23,20
25,22,26,22,23,20 24,22,25,23,22,19 24,20,23,21,22,19 26,22,26,24,24,21
24,21,24,22,22,20 24,21,24,23,22,19 26,23,26,24,24,21 25,22,26,24,24,20
26,24,26,24,25,22 26,23,26,23,23,20 26,23,25,24,24,22 25,22,25,23,23,20
25,21,24,23,23,20 25,22,24,23,23,19 24,21,23,21,21,19 26,23,26,24,24,21
25,21,24,22,22,18 25,22,25,22,22,20 24,21,24,22,24,19 24,21,24,22,21,18
"""
# Cases of pleuropneumonia of cattle: herd, new cases, animals, period.
CASES = """
1,2,14,1 1,3,12,2 1,4,9,3 1,0,5,4 2,3,22,1 2,1,18,2 2,1,21,3
3,8,22,1 3,2,16,2 3,0,16,3 3,2,20,4 4,2,10,1 4,0,10,2 4,2,9,3
4,0,6,4 5,5,18,1 5,0,25,2 5,0,24,3 5,1,4,4 6,3,17,1 6,0,17,2
6,0,18,3 6,1,20,4 7,8,16,1 7,1,10,2 7,3,9,3 7,0,5,4 8,12,34,1
9,2,9,1 9,0,6,2 9,0,8,3 9,0,6,4 10,1,22,1 10,1,22,2 10,0,18,3
10,2,22,4 11,0,25,1 11,5,27,2 11,3,22,3 11,1,22,4 12,2,10,1 12,1,8,2
12,0,6,3 12,0,5,4 13,1,21,1 13,2,24,2 13,0,19,3 13,0,23,4 14,11,19,1
14,0,2,2 14,0,3,3 14,0,2,4 15,1,19,1 15,1,15,2 15,1,15,3 15,0,15,4
"""


def sleepstudy() -> pd.DataFrame:
    """One row per subject and day: `reaction`, `days`, `subject`."""
    table = np.array([line.split() for line in REACTIONS.strip().splitlines()], float)
    subjects, days = table.shape
    return pd.DataFrame(
        {
            "reaction": table.ravel(),
            "days": np.tile(np.arange(days), subjects),
            "subject": np.repeat([f"s{number}" for number in range(subjects)], days),
        }
    )


def penicillin() -> pd.DataFrame:
    """One row per plate and sample: `diameter`, `plate`, `sample`."""
    table = np.array([line.split(",") for line in DIAMETERS.split()], float)
    return pd.DataFrame(
        {
            "diameter": table.ravel(),
            "plate": np.repeat([f"p{number}" for number in range(24)], 6),
            "sample": np.tile(list("ABCDEF"), 24),
        }
    )


def cbpp() -> pd.DataFrame:
    """One row per herd and period: `herd`, `cases`, `animals`, `period`, numbers as text."""
    rows = [line.split(",") for line in CASES.split()]
    frame = pd.DataFrame(rows, columns=["herd", "cases", "animals", "period"])
    return frame.astype({"cases": float, "animals": float})


def cbpp_animals() -> pd.DataFrame:
    """One row per animal: `herd`, `period`, `ill`."""
    rows = cbpp()
    count = rows["animals"].astype(int)
    long = rows.loc[rows.index.repeat(count), ["herd", "period"]].reset_index(drop=True)
    ill = [
        place < cases
        for cases, animals in zip(rows["cases"], count, strict=True)
        for place in range(animals)
    ]
    return long.assign(ill=ill)
