import re

import httpx


async def test_the_start_page_leads_to_the_docs(client: httpx.AsyncClient) -> None:
    page = await client.get("/")

    assert page.status_code == 200
    assert 'href="/docs"' in page.text


async def test_the_docs_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    assert len(linked) == 4
    for link in linked:
        assert link.startswith("/docs/assets/")
        asset = await client.get(link)
        assert asset.status_code == 200
        assert len(asset.content) > 50
    policy = page.headers["content-security-policy"]
    assert "http" not in policy
    assert "script-src 'self';" in policy


async def test_the_docs_page_shows_the_document_that_is_served(client: httpx.AsyncClient) -> None:
    script = (await client.get("/docs/assets/start.js")).text
    url = re.search(r'url: "([^"]+)"', script)

    assert url is not None
    assert (await client.get(url.group(1))).json()["info"]["title"] == "Shadowgraph"
