"""Clusters: where the nodes of a graph run. One word selects one; a file a back-end."""

from dasktune.cluster.choose import connect as connect
from dasktune.cluster.choose import kind_of as kind_of
from dasktune.cluster.choose import resolve as resolve
from dasktune.cluster.demand import Connection as Connection
from dasktune.cluster.demand import Demand as Demand
from dasktune.cluster.demand import check_nannies as check_nannies
from dasktune.cluster.demand import check_resources as check_resources
from dasktune.cluster.demand import default_jobs as default_jobs
from dasktune.cluster.demand import tell_limits as tell_limits
