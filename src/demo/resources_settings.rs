//! Rows of the resource table: what is looked up, and the colleagues.

use super::resources::{BASE, Kind, Match, Resource, may, must};
use super::rules;

pub(super) static ROWS: &[Resource] = &[
    Resource {
        table: "boards",
        path: "/api/v1/boards",
        id: "board_id",
        noun: "board",
        read: "ticket",
        write: "ticket_settings",
        verbs: "lgcu",
        fields: &[
            must("board_name", Kind::Text(100)),
            may("description", Kind::Text(1_000)),
            may("is_inactive", Kind::Bool),
        ],
        filters: &[("board_name", "board_name", Match::Exact), ("is_inactive", "is_inactive", Match::Flag)],
        searched: &["board_name"],
        ..BASE
    },
    Resource {
        table: "statuses",
        path: "/api/v1/statuses",
        id: "status_id",
        noun: "status",
        read: "ticket",
        write: "ticket_settings",
        verbs: "lgc",
        fields: &[
            must("name", Kind::Text(100)),
            must("status_type", Kind::OneOf(&["ticket", "project", "project_task", "interaction"])),
            may("board_id", Kind::Ref("boards")),
            may("is_closed", Kind::Bool),
            may("order_number", Kind::Number),
        ],
        filters: &[
            ("type", "status_type", Match::Exact),
            ("board_id", "board_id", Match::Uuid),
            ("is_closed", "is_closed", Match::Flag),
        ],
        searched: &["name"],
        finish: rules::new_status,
        ..BASE
    },
    Resource {
        table: "priorities",
        path: "/api/v1/priorities",
        id: "priority_id",
        noun: "priority",
        read: "ticket",
        write: "ticket_settings",
        filters: &[("item_type", "item_type", Match::Exact)],
        searched: &["priority_name"],
        ..BASE
    },
    Resource {
        table: "ticket_categories",
        path: "/api/v1/categories/ticket",
        id: "category_id",
        noun: "category",
        read: "ticket",
        write: "ticket_settings",
        verbs: "lgc",
        fields: &[
            must("category_name", Kind::Text(100)),
            may("board_id", Kind::Ref("boards")),
            may("parent_category", Kind::Ref("ticket_categories")),
        ],
        filters: &[
            ("board_id", "board_id", Match::Uuid),
            ("parent_category", "parent_category", Match::Uuid),
        ],
        searched: &["category_name"],
        ..BASE
    },
    Resource {
        table: "users",
        path: "/api/v1/users",
        id: "user_id",
        noun: "user",
        read: "user",
        write: "user",
        verbs: "lg",
        filters: &[
            ("email", "email", Match::Contains),
            ("is_inactive", "is_inactive", Match::Flag),
            ("user_type", "user_type", Match::Exact),
        ],
        searched: &["full_name", "email", "username"],
        ..BASE
    },
    Resource {
        table: "teams",
        path: "/api/v1/teams",
        id: "team_id",
        noun: "team",
        read: "team",
        write: "team",
        searched: &["team_name"],
        joins: &[("manager_name", "manager_id", "users", "full_name")],
        ..BASE
    },
    Resource {
        table: "tags",
        path: "/api/v1/tags",
        id: "tag_id",
        noun: "tag",
        read: "ticket",
        write: "tag",
        verbs: "lgcd",
        fields: &[
            must("tag_text", Kind::Text(50)),
            must("tagged_type", Kind::OneOf(&["ticket", "client", "contact", "asset", "project_task"])),
        ],
        filters: &[("tagged_type", "tagged_type", Match::Exact)],
        searched: &["tag_text"],
        ..BASE
    },
    Resource {
        table: "services",
        path: "/api/v1/services",
        id: "service_id",
        noun: "service",
        read: "service",
        write: "service",
        verbs: "lgcu",
        fields: &[
            must("service_name", Kind::Text(255)),
            must("billing_method", Kind::OneOf(&["hourly", "fixed", "usage"])),
            must("default_rate", Kind::Number),
            may("description", Kind::Text(2_000)),
            may("is_active", Kind::Bool),
        ],
        filters: &[
            ("billing_method", "billing_method", Match::Exact),
            ("is_active", "is_active", Match::Flag),
        ],
        searched: &["service_name", "description"],
        ..BASE
    },
];
