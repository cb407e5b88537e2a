r"""From one line of text, as a person types it or an URL carries it, to what is asked, and back.

    2:"sand dunes" + ./ref.jpg - person without:leash caption:(sunset OR dusk)^2 filter:licence=cc0

Whatever is not understood is words, as typed: no text is refused but for its length. In strict mode
it is a mistake instead, with its place. The forms are in docs/grammar.md. Nothing here encodes,
opens a file or knows an index.
"""

from stair_search.queries.grammar.asked import Asked as Asked
from stair_search.queries.grammar.asked import Comparison as Comparison
from stair_search.queries.grammar.asked import Part as Part
from stair_search.queries.grammar.asked import Photo as Photo
from stair_search.queries.grammar.asked import Require as Require
from stair_search.queries.grammar.asked import Text as Text
from stair_search.queries.grammar.asked import Where as Where
from stair_search.queries.grammar.asked import Without as Without
from stair_search.queries.grammar.asked import Words as Words
from stair_search.queries.grammar.meaning import as_query as as_query
from stair_search.queries.grammar.mistakes import GrammarError as GrammarError
from stair_search.queries.grammar.parser import parse as parse
from stair_search.queries.grammar.rules import Grammar as Grammar
from stair_search.queries.grammar.rules import can_be_typed as can_be_typed
