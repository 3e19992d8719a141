"""The API's root, limits and zen over REST."""

from __future__ import annotations

from demo.forge import shapes
from demo.forge.rest.call import Answer, Call, Operation, operation


def rate_limit(call: Call) -> Answer:
    """Asking costs nothing on github.com; here it counts as one."""
    core = dict(call.rate)
    fresh = {"limit": 30, "used": 0, "remaining": 30, "reset": core["reset"]}
    graphql = core | {"used": 0, "remaining": core["limit"]}
    return Answer(body={"resources": {"core": core, "search": fresh, "graphql": graphql}, "rate": core})


def meta(call: Call) -> Answer:
    return Answer(
        body={"verifiable_password_authentication": False, "domains": {"website": [call.state.web_url]}}
    )


def zen(call: Call) -> Answer:
    return Answer(text="Practicality beats purity.", media_type="text/plain;charset=utf-8")


def root(call: Call) -> Answer:
    api = shapes.api(call.state)
    urls = {
        "current_user_url": "/user",
        "current_user_authorizations_html_url": "/settings/connections/applications{/client_id}",
        "authorizations_url": "/authorizations",
        "code_search_url": "/search/code?q={query}{&page,per_page,sort,order}",
        "commit_search_url": "/search/commits?q={query}{&page,per_page,sort,order}",
        "emails_url": "/user/emails",
        "emojis_url": "/emojis",
        "events_url": "/events",
        "feeds_url": "/feeds",
        "followers_url": "/user/followers",
        "following_url": "/user/following{/target}",
        "gists_url": "/gists{/gist_id}",
        "issue_search_url": "/search/issues?q={query}{&page,per_page,sort,order}",
        "issues_url": "/issues",
        "keys_url": "/user/keys",
        "label_search_url": "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}",
        "notifications_url": "/notifications",
        "organization_url": "/orgs/{org}",
        "organization_repositories_url": "/orgs/{org}/repos{?type,page,per_page,sort}",
        "organization_teams_url": "/orgs/{org}/teams",
        "public_gists_url": "/gists/public",
        "rate_limit_url": "/rate_limit",
        "repository_url": "/repos/{owner}/{repo}",
        "repository_search_url": "/search/repositories?q={query}{&page,per_page,sort,order}",
        "current_user_repositories_url": "/user/repos{?type,page,per_page,sort}",
        "starred_url": "/user/starred{/owner}{/repo}",
        "starred_gists_url": "/gists/starred",
        "user_url": "/users/{user}",
        "user_organizations_url": "/user/orgs",
        "user_repositories_url": "/users/{user}/repos{?type,page,per_page,sort}",
        "user_search_url": "/search/users?q={query}{&page,per_page,sort,order}",
    }
    return Answer(body={name: f"{api}{path}" for name, path in urls.items()})


OPERATIONS: tuple[Operation, ...] = (
    operation("rate-limit/get", "GET", "/rate_limit", route=rate_limit),
    operation("meta/get", "GET", "/meta", route=meta),
    operation("meta/get-zen", "GET", "/zen", route=zen),
    operation("meta/root", "GET", "/", route=root),
)
