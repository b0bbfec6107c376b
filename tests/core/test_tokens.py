"""What a terminal knows of the tokens agrees with the operations' tables."""

from ks_agent import schema, tokens


def test_every_text_of_an_operation_is_known_as_a_text_and_every_list_as_a_list():
    texts = set(schema.COMMON + schema.ANSWER_COMMON)
    lists = {"LINK": schema.LINK_FIELDS}
    for forms in (schema.REQUESTS, schema.ANSWERS):
        for form in forms.values():
            texts.update(form.required + form.optional)
            lists.update(form.lists)
    for fields in lists.values():
        texts.update(fields)
    texts.difference_update(lists)
    assert lists == schema.LISTS
    missing = texts.difference(tokens.TEXTS.split())
    assert not missing, missing


def test_the_operations_that_are_a_get_are_those_of_the_table():
    gets = [op for op, request in schema.REQUESTS.items() if request.method == "GET"]
    assert sorted(gets) == sorted(tokens.GET)
