"""Rows of the real file of flights, and a rule that they keep."""

from __future__ import annotations

POSITIVE_DISTANCE = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "distance_mi", "min_value": 1, "mostly": 0.5},
    "severity": "critical",
    "meta": {},
}

# Four rows of the real file, its first of January and one cancelled flight.
UA1545 = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
AA1141 = "2013,1,1,542,540,2,923,850,33,AA,1141,N619AA,JFK,MIA,160,1089,5,40,2013-01-01T10:00:00Z"
B6725 = "2013,1,1,544,545,-1,1004,1022,-18,B6,725,N804JB,JFK,BQN,183,1576,5,45,2013-01-01T10:00:00Z"
EV4308 = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z"
FEBRUARY = "2013,2,1,456,500,-4,652,648,4,US,1117,N197UW,EWR,CLT,98,529,5,0,2013-02-01T10:00:00Z"
