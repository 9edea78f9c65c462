select customer, sum({{ 'price' if var('broken') else 'amount' }}) as revenue
from {{ ref('orders') }}
group by customer
