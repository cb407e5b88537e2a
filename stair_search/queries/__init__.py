"""What is asked, as a tree of plain values that knows no engine."""

from stair_search.queries.build import no_photo_with as no_photo_with
from stair_search.queries.build import photo_without as photo_without
from stair_search.queries.build import question as question
from stair_search.queries.reasons import Reason as Reason
from stair_search.queries.reasons import token_reasons as token_reasons
from stair_search.queries.tree import All as All
from stair_search.queries.tree import BestPhoto as BestPhoto
from stair_search.queries.tree import Bool as Bool
from stair_search.queries.tree import Constant as Constant
from stair_search.queries.tree import HasToken as HasToken
from stair_search.queries.tree import Ids as Ids
from stair_search.queries.tree import Match as Match
from stair_search.queries.tree import Query as Query
from stair_search.queries.tree import Term as Term
from stair_search.queries.tree import Tokens as Tokens
